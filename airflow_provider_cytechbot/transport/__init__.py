"""How a call is sent: HTTP clients, retries, rate limit, content coding. No Airflow."""
