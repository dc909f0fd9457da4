"""Imports the modules of all commands: what a process does once, before it forks for each command."""

import gc
import pkgutil
from importlib import import_module

import dispatcher

for _module in pkgutil.walk_packages(dispatcher.__path__, "dispatcher."):
    import_module(_module.name)
gc.collect()
gc.freeze()
