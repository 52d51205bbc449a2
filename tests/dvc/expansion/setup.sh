mkdir words
touch words/.keep
