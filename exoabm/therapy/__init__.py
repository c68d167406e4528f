"""What is done to the tissue from outside: doses, the body they pass, the host's answer, their making."""
