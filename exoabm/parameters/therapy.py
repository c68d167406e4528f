"""Parameters of therapy: doses, the body that they pass, the host's answer, and how doses are made.

The body is a mouse of 25 g, the animal in which most vesicles have been followed. Most of its numbers are
assumptions within textbook knowledge and say so; only what was read in a source names one.
"""

from __future__ import annotations

import math
from typing import Final

from exoabm.parameters.parameter import How, Parameter

ORGANS: Final = ("liver", "spleen", "lung", "kidney", "heart", "target", "rest")
"""The organs between which the body tells apart, beside its plasma."""
STEPS: Final = ("ultracentrifugation", "gradient", "ultrafiltration", "chromatography", "tangential_flow")
"""The steps by which vesicles are separated from conditioned medium."""
COMPARATORS: Final = ("free_drug", "soluble_factor", "lnp")
"""What stands beside vesicles: each gives a vesicle table other defaults, ``<comparator>_<key>``."""


def _row(
    name: str,
    symbol: str,
    meaning: str,
    unit: str,
    default: float | None,
    allowed: tuple[float, float],
    published: tuple[float, float] | None = None,
    *,
    source: tuple[str, ...] = ("assumed",),
    how: How = "assumed",
    note: str = "",
) -> Parameter:
    return Parameter(name, symbol, meaning, unit, default, allowed, published, source, how, note)


_DOSE = (
    _row(
        "particles",
        "N_dose",
        "Dose as a number of particles (vesicles, LNPs or molecules of a free drug).",
        "EV",
        None,
        (0.0, 1e24),
        note="In people about 1e11 vesicles, from 1e9 to 1e12 (recalled).",
    ),
    _row("dose_copies", "n_dose", "Dose as copies of the cargo.", "copies", None, (0.0, 1e24)),
    _row("dose_mass", "m_dose", "Dose as mass of protein.", "ug", None, (0.0, 1e9)),
    _row(
        "protein_per_particle",
        "m_EV",
        "Mass of protein in one particle, which ties a dose by mass to particles.",
        "pg/EV",
        3e-4,
        (1e-9, 1.0),
        (1e-4, 5e-4),
        note="1 ug in 2e9 to 1e10 particles, recalled; co-isolated protein makes it larger.",
    ),
    _row("dose_cells", "N_ther", "Therapeutic cells given.", "cell", None, (0.0, 1e12)),
    _row("dose_time", "t_dose", "Time after the start, such as that of a first dose.", "h", 0.0, (0.0, 1e5)),
    _row("dose_duration", "T_inf", "Duration of an infusion; 0 is a bolus.", "h", 0.0, (0.0, 1e5)),
    _row("dose_interval", "T_rep", "Time from one repeat of a dose to the next.", "h", 24.0, (1e-3, 1e5)),
    _row(
        "bioavailability",
        "F",
        "Share of a dose under the skin or into the peritoneum that ever leaves the depot for the plasma.",
        "1",
        0.7,
        (0.0, 1.0),
        (0.2, 1.0),
    ),
    _row(
        "absorption_half_life",
        "t_abs",
        "Half-life of absorption from a depot into the plasma.",
        "h",
        2.0,
        (1e-2, 1e4),
        (0.5, 12.0),
        note="By lymph; intraperitoneal is thought to be faster than subcutaneous.",
    ),
    _row(
        "drainage_half_life",
        "t_drain",
        "Half-life of particles free in the interstitium of the target before they drain to the plasma.",
        "h",
        12.0,
        (1e-2, 1e5),
        (2.0, 48.0),
    ),
    _row(
        "carrier_uptake",
        "k_M",
        "Uptake rate constant of one phagocyte in contact with blood, per concentration in plasma.",
        "um^3/s",
        210.0,
        (0.0, 1e6),
        (1.0, 600.0),
        source=("assumed", "bonsergent2021", "kim2019"),
        note=(
            "Chosen so that the half-life in plasma is about 2 min; it lies within the range of k_a of "
            "cells in culture."
        ),
    ),
    _row(
        "basal_clearance",
        "CL_0",
        "Clearance of particles from plasma by anything but phagocytes.",
        "mL/h",
        0.651,
        (0.0, 1e3),
        source=("kim2019",),
        how="read",
        note="That of macrophage-depleted mice.",
    ),
    _row(
        "distribution_volume",
        "V_ss",
        "Steady-state volume of distribution of particles.",
        "mL",
        2.32,
        (0.01, 1e5),
        source=("kim2019",),
        how="computed",
        note="CL times MRT, 0.651 mL/h times 3.57 h.",
    ),
    _row("exchange_flow", "Q_x", "Flow between plasma and the rest of that volume.", "mL/h", 1.0, (0.0, 1e4)),
    _row(
        "target_permeability",
        "PS_T",
        "Permeability times surface of the target's vessels to particles.",
        "mL/h",
        0.14,
        (0.0, 1e4),
        (0.02, 1.1),
        source=("assumed", "wilhelm2016"),
        note="Brings 0.7 % of an intravenous dose to a leaky tumor; the range brings 0.1 to 5 %.",
    ),
    _row(
        "heart_permeability",
        "PS_H",
        "Permeability times surface of the heart's vessels to particles.",
        "mL/h",
        0.01,
        (0.0, 1e4),
        (0.0, 0.2),
        note="Continuous endothelium, nearly tight to particles.",
    ),
    _row(
        "organ_half_life",
        "t_org",
        "Half-life of particles, or of their label, inside an organ that took them up.",
        "h",
        3.2,
        (0.01, 1e4),
        (1.0, 24.0),
        source=("assumed", "morishita2015"),
        note="Chosen so that the liver holds 28 % of a dose at 4 h; the other organs follow.",
    ),
    _row(
        "leak_half_life",
        "t_leak",
        "Half-life of the cargo inside a particle in plasma; infinity means that none leaks.",
        "h",
        24.0,
        (1e-3, math.inf),
        (0.005, 1e3),
        note="Drugs loaded by soaking leak fast, those inside from birth slowly.",
    ),
    _row(
        "cargo_return",
        "f_ret",
        "Share of the cargo of a particle degraded in an organ that is set free as active molecules.",
        "1",
        0.5,
        (0.0, 1.0),
        (0.0, 1.0),
        note="0 for RNA, which lysosomes destroy; small drugs survive in part.",
    ),
    _row(
        "partition",
        "K_part",
        "Concentration of free molecules in tissue relative to plasma, at equilibrium.",
        "1",
        10.0,
        (1e-3, 1e4),
        (1.0, 100.0),
        note="High, as for anthracyclines.",
    ),
    _row(
        "hepatic_clearance",
        "CL_H",
        "Intrinsic clearance of free molecules by the liver.",
        "mL/h",
        60.0,
        (0.0, 1e5),
        (5.0, 500.0),
    ),
    _row("renal_clearance", "CL_R", "Clearance of free molecules by the kidney.", "mL/h", 10.0, (0.0, 1e5)),
    _row(
        "variability",
        "CV",
        "Coefficient of variation between subjects, donors or batches.",
        "1",
        0.3,
        (0.0, 2.0),
        (0.1, 0.6),
    ),
)

_BODY = (
    _row("plasma_volume", "V_p", "Volume of plasma.", "mL", 1.0, (1e-3, 1e5), (0.8, 1.3)),
    *(
        _row(f"{organ}_volume", f"V_{organ}", f"Volume of the {organ}.", "mL", volume, (1e-4, 1e6))
        for organ, volume in zip(ORGANS, (1.37, 0.09, 0.18, 0.42, 0.12, 0.3, 20.0), strict=True)
    ),
    *(
        _row(f"{organ}_flow", f"Q_{organ}", f"Plasma flow through the {organ}.", "mL/h", flow, (0.0, 1e6))
        for organ, flow in zip(ORGANS, (77.0, 5.0, 480.0, 43.0, 32.0, 5.0, 318.0), strict=True)
    ),
    *(
        _row(
            f"{organ}_phagocytes",
            f"M_{organ}",
            f"Phagocytes of the {organ} in contact with blood.",
            "cell",
            number,
            (0.0, 1e13),
        )
        for organ, number in zip(ORGANS, (2e7, 1.2e6, 5e6, 5e5, 0.0, 0.0, 3e6), strict=True)
    ),
)

_IMMUNITY = (
    _row(
        "cell_antigen",
        "m_cell",
        "Mass of protein of one therapeutic cell that the host can see.",
        "pg/cell",
        300.0,
        (0.0, 1e6),
        (100.0, 1000.0),
    ),
    _row(
        "relative_immunogenicity",
        "ε",
        "Immunogenicity of vesicles per mass of antigen, relative to that of cells.",
        "1",
        0.01,
        (0.0, 10.0),
        (0.0, 0.3),
        source=("assumed", "zhu2017"),
        note="An input, not a finding: minimal effects in mice, transient rises in others.",
    ),
    _row(
        "foreignness",
        "f_allo",
        "Share of the antigen that is foreign to the host: 1 allogeneic, 0 autologous.",
        "1",
        1.0,
        (0.0, 1.0),
    ),
    _row(
        "antigen_half",
        "A_half",
        "Foreign antigen at which a response runs at half its rate.",
        "ug",
        100.0,
        (1e-9, 1e9),
        (1.0, 1e4),
    ),
    _row(
        "antigen_half_life",
        "t_Ag",
        "Half-life of antigen that was set free or taken up.",
        "h",
        24.0,
        (0.1, 1e4),
        (6.0, 96.0),
    ),
    _row("innate_time", "τ_I", "Time in which innate activation follows antigen.", "h", 12.0, (0.1, 1e3)),
    _row(
        "expansion", "r_E", "Rate at which effector clones expand at full stimulation.", "1/h", 0.07, (0, 1)
    ),
    _row("contraction", "d_E", "Rate at which effectors are lost again.", "1/h", 0.0144, (0.0, 1.0)),
    _row("naive_precursors", "e_0", "Effectors of a naive host, of a full response.", "1", 1e-3, (1e-9, 1.0)),
    _row("memory_precursors", "e_1", "Effectors that full memory keeps ready.", "1", 0.05, (1e-9, 1.0)),
    _row("memory_rate", "μ_M", "Rate at which effectors lay down memory.", "1/h", 0.01, (0.0, 1.0)),
    _row(
        "initial_memory", "M_mem", "Memory of the host at the start: 0 naive, 1 sensitized.", "1", 0.0, (0, 1)
    ),
    _row(
        "therapeutic_half_life",
        "t_cell",
        "Half-life of therapeutic cells in a host that does not fight them; infinity means that they stay.",
        "h",
        24.0,
        (0.1, math.inf),
        (12.0, 72.0),
        source=("assumed", "eggenhofer2012"),
        note="Intravenous cells are trapped in the lungs.",
    ),
    _row("kill_rate", "k_kill", "Rate at which full effectors kill foreign cells.", "1/h", 0.06, (0.0, 10.0)),
)

_RECOVERY = (0.125, 0.25, 0.3, 0.6, 0.8)
_RECOVERY_RANGE = ((0.05, 0.2), (0.1, 0.4), (0.1, 0.5), (0.4, 0.8), (0.6, 0.95))
_REMOVAL = (0.9, 0.98, 0.5, 0.95, 0.8)
_LABOR = (6.0, 16.0, 1.0, 1.5, 3.0)
_SHORT = ("UC", "DG", "UF", "SEC", "TFF")

_MANUFACTURE = (
    _row("producer_cells", "N_prod", "Cells that produce at harvest.", "cell", 1e8, (1.0, 1e14)),
    _row(
        "producer_rate", "q_prod", "Vesicles that a producer releases.", "1/h", 60.0, (0.0, 1e6), (0.2, 2700)
    ),
    _row("harvest_time", "T_harv", "Time for which medium is conditioned.", "h", 48.0, (0.1, 1e4)),
    _row("storage_time", "T_stor", "Time from separation to use.", "h", 48.0, (0.0, 1e5)),
    _row(
        "storage_loss",
        "λ_48",
        "Share of the vesicles lost in 48 h of storage at 4 °C.",
        "1",
        0.51,
        (0.0, 0.999),
        (0.18, 0.51),
        source=("evtushenko2020",),
        how="read",
        note="By adsorption to the tube; taken as a constant rate.",
    ),
    _row("dose_particles", "N_1", "Vesicles in one dose.", "EV", 1e11, (1.0, 1e18), (1e9, 1e12)),
    _row("dose_of_cells", "N_2", "Cells in one dose of cell therapy.", "cell", 1e8, (1.0, 1e12), (1e7, 1e9)),
    _row("doubling_time", "t_dbl", "Doubling time of cells in expansion.", "h", 30.0, (1.0, 1e4), (20, 60)),
    _row("seed_cells", "N_seed", "Cells with which expansion begins.", "cell", 1e6, (1.0, 1e12)),
    _row("expansion_cost", "c_exp", "Cost of 1e8 cells made by expansion, relative.", "1", 1.0, (0.0, 1e6)),
    _row(
        "labor_cost",
        "c_lab",
        "Cost of an hour of separation, relative to 1e8 cells made by expansion.",
        "1/h",
        0.1,
        (0.0, 1e6),
        (0.01, 1.0),
        source=("assumed", "pmc6322973"),
        note="No price was verified; labor and consumables are said to dominate.",
    ),
    _row(
        "protein_per_cell",
        "m_med",
        "Protein in the medium that is not in vesicles, per cell and hour.",
        "pg/h",
        1.0,
        (0.0, 1e6),
        (0.1, 100.0),
    ),
    *(
        _row(
            f"{step}_recovery",
            f"R_{short}",
            f"Share of the vesicles that {step.replace('_', ' ')} keeps.",
            "1",
            recovery,
            (1e-6, 1.0),
            published,
            source=("assumed", "busatto2018") if short == "TFF" else ("pmc10058361",),
            how="assumed" if short == "TFF" else "read",
        )
        for step, short, recovery, published in zip(STEPS, _SHORT, _RECOVERY, _RECOVERY_RANGE, strict=True)
    ),
    *(
        _row(
            f"{step}_removal",
            f"P_{short}",
            f"Share of the free protein that {step.replace('_', ' ')} removes.",
            "1",
            removal,
            (0.0, 1.0),
        )
        for step, short, removal in zip(STEPS, _SHORT, _REMOVAL, strict=True)
    ),
    *(
        _row(
            f"{step}_time",
            f"T_{short}",
            f"Hours that {step.replace('_', ' ')} of a batch takes.",
            "h",
            hours,
            (0.0, 1e3),
        )
        for step, short, hours in zip(STEPS, _SHORT, _LABOR, strict=True)
    ),
)

_COMPARATORS = (
    _row("free_drug_diameter", "d_drug", "Diameter of a drug molecule.", "nm", 10.0, (10.0, 100.0)),
    _row(
        "free_drug_diffusivity",
        "D_drug",
        "Diffusivity of a drug molecule.",
        "um^2/s",
        300.0,
        (1.0, 1e4),
        (100, 600),
    ),
    _row(
        "free_drug_half_life",
        "t_drug",
        "Half-life of a drug molecule in the interstitium: washout.",
        "h",
        0.5,
        (1e-3, 1e3),
        (0.1, 6.0),
    ),
    _row(
        "free_drug_delivery_probability",
        "φ_drug",
        "Chance that a drug molecule taken up reaches where it acts.",
        "1",
        1.0,
        (0.0, 1.0),
    ),
    _row("soluble_factor_diameter", "d_sol", "Diameter of a soluble factor.", "nm", 10.0, (10.0, 100.0)),
    _row(
        "soluble_factor_diffusivity",
        "D_sol",
        "Diffusivity of a soluble factor, such as a cytokine.",
        "um^2/s",
        100.0,
        (1.0, 1e4),
        (50.0, 150.0),
        source=("assumed", "francis1997"),
    ),
    _row(
        "soluble_factor_half_life",
        "t_sol",
        "Half-life of a soluble factor in the interstitium.",
        "h",
        1.0,
        (1e-3, 1e3),
        (0.1, 12.0),
    ),
    _row(
        "soluble_factor_delivery_probability",
        "φ_sol",
        "Chance that a soluble factor bound by its receptor is sensed.",
        "1",
        1.0,
        (0.0, 1.0),
    ),
    _row("lnp_diameter", "d_LNP", "Diameter of a lipid nanoparticle.", "nm", 90.0, (30.0, 500.0), (60, 120)),
    _row(
        "lnp_half_life",
        "t_LNP",
        "Half-life of a lipid nanoparticle in the interstitium.",
        "h",
        6.0,
        (1e-3, 1e4),
        (1.0, 48.0),
    ),
    _row(
        "lnp_delivery_probability",
        "φ_LNP",
        "Chance that a lipid nanoparticle taken up delivers to the cytosol.",
        "1",
        0.02,
        (0.0, 1.0),
        (0.005, 0.1),
        note="1 to 2 % of siRNA escapes from endosomes (recalled).",
    ),
)

_EFFECT = (
    _row(
        "effect_copies",
        "n_eff",
        "Delivered copies of a cargo from which a cell shows its effect.",
        "copies",
        1.0,
        (1.0, 1e9),
        note="A sharp threshold on a Poisson number of copies.",
    ),
    _row(
        "effect_of_interest",
        "Δ_min",
        "Smallest effect of interest, in the unit of the readout, or as a share on the scale of ratios.",
        "1",
        0.0,
        (0.0, 1e30),
    ),
    _row("readout_level", "l_read", "Value that a readout waits for, in its unit.", "1", None, (-1e30, 1e30)),
    _row("readout_time", "t_read", "Model time at which a readout is taken.", "h", None, (0.0, 1e5)),
)

THERAPY: Final = (*_DOSE, *_BODY, *_IMMUNITY, *_MANUFACTURE, *_COMPARATORS, *_EFFECT)
