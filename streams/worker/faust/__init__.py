"""The only users of Faust, mode and aiokafka; README.md beside it lists what of theirs is private."""
