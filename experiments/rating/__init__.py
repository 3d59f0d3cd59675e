"""Rating of images by people: the questions, the web page and the answers."""
