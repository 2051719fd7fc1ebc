"""What a gate weighs: champion against challenger, a release, the trial of what ships."""
