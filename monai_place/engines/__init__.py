"""What MONAI's trainer and evaluator need: batch preparation, schedules, handlers, exact resume."""
