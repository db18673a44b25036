"""x"""


def limits_of(payer):
    return []
