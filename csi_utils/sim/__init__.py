"""The radio rooms of this collection: materials, scene, channel, the card that measures, and data sets."""
