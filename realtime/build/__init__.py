"""What the settings alone decide: the parts of a server and its models, each made by a function."""
