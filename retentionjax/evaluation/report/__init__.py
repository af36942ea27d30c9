"""A run as one page for the person who decides: `retentionjax report --run DIR`.

`run_folder` reads the stages' artifacts, each module of sections turns some of them into `content` (what is said),
`pictures` draws, and `page` puts it into one HTML file that needs nothing else: no script, no request, no other file.
"""
