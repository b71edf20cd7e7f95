"""The synthetic fab: a model of the physics of optical wafer inspection, with exact defect masks.

Follow one image: ``wafer`` says where on the wafer it lies, ``patterns`` what the design draws there,
``process`` how this wafer printed it, ``defects`` what went wrong, ``optics`` how the station saw it, ``fab`` ties
them together, ``plans`` lists what a data set holds, ``writing`` puts it on disk and ``grid`` shows it. Nothing
here knows of detectors. `docs/synthetic-fab.md` holds the formulas, units and limits.
"""
