"""The radio rooms of this collection: materials, scene, channel, the card that measures it, and data sets made of them."""
