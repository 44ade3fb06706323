"""`cloudq autoscale-config`: what has a platform scale workers by their queue, without killing what runs."""
