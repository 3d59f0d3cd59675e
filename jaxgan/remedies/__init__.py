"""Remedies for mode collapse and unstable training: functions from loss pair to loss pair, or GAN to GAN.

They compose. Of those on a GAN, the one applied last is outermost, and what it changes the others see; the
order in which each finds what it should is feature matching, instance noise, experience replay, historical
averaging, unrolling.
"""
