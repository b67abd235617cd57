"""The only users of Faust and aiokafka."""
