"""Files: where real data come from, how public sets are converted, captures of WiFi cards, a person's own .npz."""
