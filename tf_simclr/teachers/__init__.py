"""What a student learns from: networks, files of answers, features."""
