"""The console command, and how programs that compute begin and end."""
