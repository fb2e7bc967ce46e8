"""The CyTechBot protocol: no Airflow and no I/O. Calls are built here and answers deciphered."""
