"""Host processes: started, stopped and found again."""
