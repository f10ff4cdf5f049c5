"""Hooks for task queues and test runners, installed as `appid_manager_client.integrations`.

Each module needs the package that it hooks into, so nothing here is imported until a user asks
for it.
"""
