"""A metric writer that writes nothing and imports no other library."""


class SummaryWriter:
    def __init__(self, logdir):
        pass

    def write_scalars(self, step, scalars):
        pass

    def write_images(self, step, images):
        pass

    def close(self):
        pass
