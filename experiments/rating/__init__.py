"""Rating of images by people: the questions, the page and the answers."""
