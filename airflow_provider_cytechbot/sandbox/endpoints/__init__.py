"""The API's endpoints: their answers by the vendor's page and, where that is silent, the platform family."""
