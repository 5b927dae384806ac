"""The microscope in the browser: a page over one atlas, and the live network where there is one."""
