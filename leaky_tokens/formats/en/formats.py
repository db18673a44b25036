"""How the console writes moments: sortable by eye, and to the second. Django finds this by the language's name."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s"
