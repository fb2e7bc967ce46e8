"""
A small CyTechBot API server for demos and tests, with its state in memory.

`python -m airflow_provider_cytechbot.sandbox` starts it from a shell, `server.SandboxServer` from Python, and
`pytest_plugin` gives tests the fixture `cytechbot_sandbox`. Nothing else of the provider imports it.
"""
