"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Something that the user can mend. Its message says what is wrong, where, and what to write instead.

    A job that ends with it prints the message alone; any other exception prints its traceback.
    """
