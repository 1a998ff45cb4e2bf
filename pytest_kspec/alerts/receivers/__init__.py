"""One module a kind of receiver: from a notification to what is sent. What they share is `message`."""
