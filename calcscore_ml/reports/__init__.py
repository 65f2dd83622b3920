"""Results for people: HTML, pictures and figures."""
