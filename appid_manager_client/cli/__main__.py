"""`python -m appid_manager_client.cli` is the command `appid-manager`."""

from . import main

raise SystemExit(main())
