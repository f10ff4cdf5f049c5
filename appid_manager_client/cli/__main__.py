"""`python -m appid_manager_client.cli` is the command `appid-manager`."""

from .program import main

raise SystemExit(main())
