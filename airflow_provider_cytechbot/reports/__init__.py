"""Reports of flow answers for people: the figures of a campaign, and the page that shows them."""
