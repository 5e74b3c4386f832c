"""The devices that can be plugged in, each as the bus sees it."""
