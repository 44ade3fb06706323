"""What `DeadLetters` is made of: which ones are meant, what they have in common, and how they are sent again."""
