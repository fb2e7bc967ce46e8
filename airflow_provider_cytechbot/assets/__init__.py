"""Asset URIs of flow campaigns, as Airflow and OpenLineage name them."""
