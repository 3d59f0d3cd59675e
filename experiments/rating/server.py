"""Web page of ``experiments.rate``, and its server, which is only reachable from this machine."""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from experiments.cli import interrupts
from experiments.rating import answer_log, questionnaire
from jaxgan.errors import SetupError

HOST = "127.0.0.1"


def make_app(
    questions: Sequence[questionnaire.Question],
    answers: list[str],
    record: Callable[[int, str, int], None],
    seconds: float | None,
) -> tuple[Any, Future[None]]:
    """Creates the web application, with GET / and /image/NAME, and POST /answer.

    Args:
      questions: Questions in their order.
      answers: Answers to the first questions; new answers are appended.
      record: Function from :func:`experiments.rating.answer_log.recorder`.
      seconds: Seconds that each image is shown for, None for no limit.

    Returns:
      The Flask application, and a future. The future is resolved when the reply to the last answer has been
      sent, or fails with an OSError when an answer cannot be recorded.
    """
    import flask

    # The names are drawn anew in every process, so that a name reveals neither kind nor place of an image.
    names = [secrets.token_hex(8) for _ in questions]
    files = {
        name: questionnaire.png(question.pixels) for name, question in zip(names, questions, strict=True)
    }
    token = secrets.token_hex(16)
    lock = threading.Lock()
    ended: Future[None] = Future()
    app = flask.Flask(__name__, static_folder=None, template_folder=str(Path(__file__).parent))
    # A site whose domain name resolves to this machine (DNS rebinding) still sends its own name as Host.
    app.config.update(TRUSTED_HOSTS=[HOST, "localhost"], MAX_CONTENT_LENGTH=4096)

    def state() -> dict[str, Any]:
        done = len(answers)
        if done < len(questions):
            return {"done": done, "image": names[done]}
        scores = answer_log.score(questions, answers).items()
        return {
            "done": done,
            "scores": [
                {"name": name, **answer_log.shown(share), "low": share.low, "high": share.high}
                for name, share in scores
            ],
        }

    @app.get("/")
    def page() -> flask.Response:
        nonce = secrets.token_hex(16)
        given = {"num": len(questions), "seconds": seconds, "token": token, "state": state()}
        response = flask.make_response(flask.render_template("rate.html", nonce=nonce, given=given))
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}';"
            " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
            " frame-ancestors 'none'"
        )
        return response

    @app.get("/image/<name>")
    def image(name: str) -> flask.Response:
        if name not in files:
            flask.abort(404)
        return flask.Response(files[name], mimetype="image/png")

    @app.post("/answer")
    def answer() -> tuple[flask.Response, int]:
        given = flask.request.get_json()
        if not isinstance(given, dict) or given.get("token") != token:
            flask.abort(403)
        kind, milliseconds = given.get("answer"), given.get("milliseconds")
        if (
            kind not in questionnaire.KINDS
            or type(milliseconds) is not int
            or not 0 <= milliseconds < 10**9
        ):
            flask.abort(400)
        with lock:
            index = len(answers)
            if ended.done() or index == len(questions) or given.get("image") != names[index]:
                return flask.jsonify(state()), 409  # The reply tells the page what to judge next.
            try:
                record(index, kind, milliseconds)
            except OSError as error:
                ended.set_exception(error)
                flask.abort(500)
            answers.append(kind)
            response = flask.jsonify(state())
            if len(answers) == len(questions):
                response.call_on_close(lambda: ended.set_result(None))
        return response, 200

    @app.after_request
    def guard(response: flask.Response) -> flask.Response:
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return app, ended


def listen(port: int) -> socket.socket:
    """Opens a socket on the loopback address, which no other machine can reach.

    Raises:
      SetupError: The port is in use, or this user must not use it.
    """
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise SetupError(
            f"--port {port} cannot be used ({os.strerror(error.errno or 0)}): give another, or 0"
        ) from error


def serve(app: Any, ended: Future[None], listening: socket.socket) -> int | None:
    """Prints the address of the page and serves the page until the session ends or a signal arrives.

    Args:
      app: Application from :func:`make_app`.
      ended: Future from :func:`make_app`.
      listening: Socket from :func:`listen`.

    Returns:
      The number of the signal, or None if the session ended.

    Raises:
      OSError: An answer could not be recorded.
    """
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # It logs a line for every request.
    server = make_server(HOST, listening.getsockname()[1], app, threaded=True, fd=listening.fileno())
    thread = threading.Thread(target=server.serve_forever)
    with interrupts.catch_signals() as signals:
        thread.start()
        print(f"open http://{HOST}:{server.port}/", flush=True)
        while not signals and not ended.done():
            time.sleep(0.05)
        server.shutdown()
        thread.join()
        server.server_close()
    if ended.done():
        ended.result()
        return None
    return signals[0]
