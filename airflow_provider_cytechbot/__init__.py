"""Apache Airflow provider for CyTechBot, a chatbot platform (a white-label XeroChat installation)."""

__version__ = "0.1.0"
