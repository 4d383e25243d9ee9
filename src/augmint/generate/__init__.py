"""Images or features and their neighbours → generators that make more of them."""
