"""Teachers of a student: networks, files of answers, features."""
