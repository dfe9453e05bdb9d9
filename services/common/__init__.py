"""What Lockstep's services share: settings, keys, vocabulary, and the frame of a process."""
