from __future__ import annotations

import os

from hypothesis import settings

# Many tests of this folder run once for each endpoint or form: fewer examples of each come to many all the
# same. HYPOTHESIS_PROFILE=thorough looks harder.
settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
