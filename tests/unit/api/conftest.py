from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Many tests of this folder run once for each endpoint or form: fewer examples of each come to many all the
# same. HYPOTHESIS_PROFILE=thorough looks harder.
# Both are patient: a busy machine is no fault of the code.
PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=25, **PATIENT)
settings.register_profile("thorough", max_examples=1000, **PATIENT)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
