"""Problems whose true distribution is known exactly."""
