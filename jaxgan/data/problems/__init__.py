"""Problems whose distribution is known exactly."""
