"""What the virtio devices share: the MMIO transport and split virtqueues (VIRTIO 1.2, OASIS, sections 2 and 4.2)."""
