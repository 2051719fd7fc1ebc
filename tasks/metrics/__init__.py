"""Numbers from scores and labels, with their intervals. numpy and scipy only."""
