"""What the broker does with a message: one small class for recording, two for replaying."""
