"""The console command, and how programs that compute start and end."""
