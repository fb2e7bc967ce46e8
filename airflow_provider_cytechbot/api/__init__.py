"""The CyTechBot protocol, without Airflow and without I/O: endpoints, calls, answers, records, errors."""
