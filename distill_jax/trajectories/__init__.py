"""Training trajectories of networks: made, stored on disk, and fed."""
