"""How pages write times: as everywhere in NMS, so that they can be compared and sorted by eye."""

DATETIME_FORMAT = "Y-m-d H:i:s"
DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
