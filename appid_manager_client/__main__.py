"""`python -m appid_manager_client` is the command `appid-manager`."""

from .cli.program import main

raise SystemExit(main())
